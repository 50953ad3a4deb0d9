from django.urls import path

from . import views

app_name = "shop"
urlpatterns = [
    path("", views.home, name="home"),
    path("search/", views.search, name="search"),
    path("catalogue.csv", views.export, name="export"),
    path("recommendations/", views.recommendations, name="recommendations"),
    path("checkout/", views.checkout, name="checkout"),
    path("thanks/<int:pk>/", views.thanks, name="thanks"),
    path("statement/", views.statement, name="statement"),
    path("delivery/", views.delivery, name="delivery"),
]
